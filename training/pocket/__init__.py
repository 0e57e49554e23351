"""s1-pocket, the embedded model: its questions, its training, and studies made with it."""
