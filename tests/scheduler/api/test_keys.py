"""Keys: shown once, kept as hashes, refused alike whether unknown or revoked."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scheduler.admission.access import Caller
from scheduler.admission.limits import KeyLimits
from scheduler.api.keys import PREFIX, Keyring, create, read_keys, revoke
from thinkbudget import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_a_key_is_found_by_itself_only(path: Path) -> None:
    alice, bob = create(path, "alice"), create(path, "bob", role="admin")
    ring = Keyring(path)
    found = ring.find(alice), ring.find(bob)
    assert [caller and (caller.name, caller.role) for caller in found] == [
        ("alice", "inference"),
        ("bob", "admin"),
    ]
    for wrong in ("", PREFIX, alice[:-1], alice + "x", alice.upper(), "é\ud800"):
        assert ring.find(wrong) is None


def test_the_file_holds_no_key_and_is_its_owners_alone(path: Path) -> None:
    secrets = [create(path, f"caller {number}") for number in range(3)]
    assert len(set(secrets)) == 3 and all(len(secret) >= 40 for secret in secrets)
    text = path.read_text()
    assert not any(secret in text or secret.removeprefix(PREFIX) in text for secret in secrets)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_change_of_the_file_counts_at_once(path: Path) -> None:
    alice = create(path, "alice")
    ring = Keyring(path)
    assert ring.find(alice) is not None
    bob = create(path, "bob")
    assert ring.find(bob) is not None
    assert revoke(path, "alice") == 1
    assert ring.find(alice) is None
    assert ring.find(bob) is not None
    path.unlink()
    assert ring.find(bob) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    secret = create(path, "alice")
    ring = Keyring(path)
    assert ring.find(secret) is not None
    path.chmod(mode)
    assert ring.find(secret) is None
    with pytest.raises(ValueError, match=f"mode {mode:o}.*chmod 600"):
        read_keys(path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "line 2"),
        ("[]", "line 2"),
        ('{"name": "x"}', "hash is missing"),
        ('{"name": "x", "hash": "00"}', "SHA-256"),
        ('{"name": "", "hash": "%s"}' % ("0" * 64), "name"),
        ('{"name": "a\\nb", "hash": "%s"}' % ("0" * 64), "name"),
        ('{"name": "x", "hash": "%s", "role": "root"}' % ("0" * 64), "'root'"),
        ('{"name": "x", "hash": "%s", "rule": "admin"}' % ("0" * 64), "did you mean 'role'"),
        ('{"name": "x", "hash": "%s", "limits": {"tokens_per_minute": 0}}' % ("0" * 64), "got 0"),
        ('{"name": "x", "hash": "%s", "limits": {"tokens_per_day": true}}' % ("0" * 64), "True"),
    ],
)
def test_a_broken_record_is_named_and_no_key_is_accepted(path: Path, line: str, told: str) -> None:
    secret = create(path, "alice")
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="line 2") as refused:
        read_keys(path)
    assert told in str(refused.value)
    assert Keyring(path).find(secret) is None


def test_limits_of_a_key_go_before_the_usual_ones(path: Path) -> None:
    own = KeyLimits(tokens_per_minute=7)
    plain, limited = create(path, "plain"), create(path, "limited", limits=own)
    ring = Keyring(path, KeyLimits(requests_per_minute=5))
    found = ring.find(plain), ring.find(limited)
    assert [caller and caller.limits for caller in found] == [KeyLimits(requests_per_minute=5), own]


def test_salts_are_of_the_name_and_no_two_names_share_one(path: Path) -> None:
    first, second, other = create(path, "alice"), create(path, "alice"), create(path, "bob")
    revoke(path, "bob")
    again = create(path, "bob")
    salts = []
    for ring in (Keyring(path), Keyring(path)):
        salts.append(
            [(caller := ring.find(s)) and caller.cache_salt for s in (first, second, again)]
        )
        assert ring.find(other) is None
    assert salts[0] == salts[1]
    assert salts[0][0] == salts[0][1] != salts[0][2]
    assert len(str(salts[0][0])) == 64


@pytest.mark.parametrize(
    ("role", "path_", "allowed"),
    [
        ("inference", "/v1/chat/completions", True),
        ("batch", "/v1/models", True),
        ("inference", "/v1/thinkbudget/curves", False),
        ("inference", "/metrics", False),
        ("inference", "/v1", False),
        ("inference", "/openapi.json", True),
        ("viewer", "/openapi.json", False),
        ("batch", "//v1/models", False),
        ("admin", "/metrics", True),
        ("metrics", "/metrics", True),
        ("metrics", "/v1/chat/completions", False),
        ("metrics", "/v1/models", False),
        ("metrics", "/v1/thinkbudget/curves", False),
        ("metrics", "/openapi.json", False),
        ("metrics", "/ui/state", False),
        ("inference", "/ui/state", False),
        ("viewer", "/ui/state", True),
        ("viewer", "/metrics", True),
        ("viewer", "/v1/chat/completions", False),
        ("viewer", "/v1/thinkbudget/curves", False),
    ],
)
def test_what_no_role_names_is_for_administrators(role: str, path_: str, allowed: bool) -> None:
    assert Caller("x", role).may(path_) is allowed  # type: ignore[arg-type]


def test_the_batch_role_waits_with_flex_and_priority_is_granted_by_the_key() -> None:
    asked = (-1, 0, 1)
    assert [Caller("b", "batch").urgency(wish) for wish in asked] == [1, 1, 1]
    assert [Caller("i", priority=False).urgency(wish) for wish in asked] == [0, 0, 1]
    assert [Caller("i", priority=True).urgency(wish) for wish in asked] == [-1, 0, 1]


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["keys", *map(str, arguments)])


def test_the_command_makes_lists_and_revokes(path: Path) -> None:
    made = ran("create", "alice", "--file", path, "--role", "batch", "--tokens-per-minute", 90)
    secret = made.output.strip()
    caller = Keyring(path).find(secret)
    assert caller and (caller.role, caller.limits.tokens_per_minute) == ("batch", 90)
    listed = ran("list", "--file", path).output
    assert "alice" in listed and "tokens_per_minute 90" in listed and secret not in listed
    assert ran("revoke", "alice", "--file", path).output == "1 revoked\n"
    assert "revoked 20" in ran("list", "--file", path).output
    assert Keyring(path).find(secret) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list"], "No such file"),
        (["revoke", "nobody"], "No such file"),
        (["create", "x", "--role", "king"], "'king'"),
        (["create", "x" * 101], "name"),
        (["create", "x", "--tokens-per-day", "0"], "0"),
    ],
)
def test_a_mistake_is_told_in_a_line(path: Path, arguments: list[str], told: str) -> None:
    result = ran(*arguments, "--file", path)
    assert result.exit_code == 2
    assert told in result.output
    assert not path.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--host", "0.0.0.0"], "--insecure-no-auth"),
        (["--keys", "nowhere"], "nowhere"),
        (["--keys", "nowhere", "--insecure-no-auth"], "exclude each other"),
    ],
)
def test_a_server_does_not_start_open_by_mistake(flags: list[str], told: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--engine", "simulated", *flags])
    assert result.exit_code == 2
    assert told in result.output


def test_a_key_is_revoked_once(path: Path) -> None:
    create(path, "alice")
    revoke(path, "alice")
    with pytest.raises(ValueError, match="no key"):
        revoke(path, "alice")
    assert json.loads(path.read_text())["revoked"].startswith("20")
    assert os.stat(path).st_mode & 0o777 == 0o600
