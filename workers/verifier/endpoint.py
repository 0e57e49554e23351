"""A verifier behind HTTP: a reward model that vLLM or another server serves."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from workers.verifier.base import VerifierFailed
from workers.verifier.steps import step_ends

TRIES = 3
FIRST_WAIT_SECONDS = 0.5
AT_ONCE = 16
"""Requests of one call that run side by side."""


@dataclass(frozen=True, slots=True)
class EndpointVerifier:
    """A `Verifier` whose model is asked at `url`, by one of two routes of vLLM's.

    `pooling` posts a conversation to `/pooling`, every step of the thinking ended by
    `step_separator`, and reads one row a step; number `right_index` of a row is the reward. `score`
    posts question and thinkings to `/score`, which judges whole texts: one reward a thinking.
    A busy or unreachable server is tried again. `key` is a bearer token.
    """

    url: str
    model: str
    route: Literal["pooling", "score"] = "pooling"
    key: str | None = None
    step_separator: str = "<extra_0>"
    right_index: int = 1
    timeout_seconds: float = 60.0

    async def score(self, question: str, thinkings: Sequence[str]) -> list[list[float]]:
        """The rewards of every step of every thinking, as `Verifier` says."""
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        address = self.url.rstrip("/").removesuffix("/v1")
        async with httpx.AsyncClient(
            base_url=address, headers=headers, timeout=self.timeout_seconds
        ) as client:
            if self.route == "score":
                return await self._whole(client, question, thinkings)
            turns = asyncio.Semaphore(AT_ONCE)

            async def judged(thinking: str) -> list[float]:
                async with turns:
                    return await self._by_step(client, question, thinking)

            return await asyncio.gather(*map(judged, thinkings))

    async def _whole(
        self, client: httpx.AsyncClient, question: str, thinkings: Sequence[str]
    ) -> list[list[float]]:
        asked = [place for place, thinking in enumerate(thinkings) if thinking.strip()]
        rewards: list[list[float]] = [[] for _ in thinkings]
        if asked:
            texts = [thinkings[place] for place in asked]
            body = {"model": self.model, "text_1": question, "text_2": texts}
            rows = await self._post(client, "/score", body)
            for row in rows:
                rewards[asked[row["index"]]] = [self._reward(row["score"])]
            if len(rows) != len(asked):
                raise VerifierFailed(f"{self._name} gave {len(rows)} scores of {len(asked)} texts")
        return rewards

    async def _by_step(
        self, client: httpx.AsyncClient, question: str, thinking: str
    ) -> list[float]:
        starts = [0, *step_ends(thinking)]
        steps = [thinking[a:b].strip() for a, b in zip(starts, starts[1:], strict=False)]
        if not steps:
            return []
        told = "".join(f"{step}{self.step_separator}" for step in steps)
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": told}]
        rows = await self._post(client, "/pooling", {"model": self.model, "messages": messages})
        found = rows[0]["data"] if rows else []
        if len(found) != len(steps):
            why = "`step_separator` must be the one that its model was trained with"
            raise VerifierFailed(
                f"{self._name} gave {len(found)} rewards of {len(steps)} steps; {why}"
            )
        return [self._reward(self._right(row)) for row in found]

    def _right(self, row: Any) -> Any:
        if not isinstance(row, list):
            return row
        if self.right_index >= len(row):
            why = f"right_index is {self.right_index}"
            raise VerifierFailed(f"{self._name} gives {len(row)} numbers a step, but {why}")
        return row[self.right_index]

    def _reward(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise VerifierFailed(f"{self._name} gave {value!r}, which is no reward from 0 to 1")
        return float(value)

    async def _post(self, client: httpx.AsyncClient, path: str, body: Any) -> list[Any]:
        """`data` of the reply. Raises VerifierFailed that says what went wrong."""
        why = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                reply = await client.post(path, json=body)
            except httpx.HTTPError as error:
                why = f"cannot be reached: {error or type(error).__name__}"
                continue
            if reply.status_code == 429 or reply.status_code >= 500:
                why = f"answered {reply.status_code}: {reply.text[:200]}"
                continue
            if reply.status_code != 200:
                raise VerifierFailed(
                    f"{self._name} answered {reply.status_code}: {reply.text[:200]}"
                )
            try:
                data = reply.json()["data"]
            except (ValueError, KeyError, TypeError):
                data = None
            if not isinstance(data, list):
                raise VerifierFailed(f"{self._name} answered without `data`: {reply.text[:200]}")
            return data
        raise VerifierFailed(f"{self._name} {why}")

    @property
    def _name(self) -> str:
        return f"verifier {self.url}"
