"""Serving over HTTP: OpenAI's API on the checkpoints here, and what every web server of this project needs around it.

`connections.py` runs a server, with deadlines and limits for its connections; `guards.py` says who may ask; `api.py`
answers under /v1. An application is put together where it is run: in `minigpt.serve`, and in whatever else mounts the
API. torch is loaded for the first request to a model and not before, so none of the three imports what needs it.
"""
