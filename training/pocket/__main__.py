"""Trains s1-pocket from nothing: `python -m training.pocket`."""

from training.pocket.make import main

if __name__ == "__main__":
    main()
