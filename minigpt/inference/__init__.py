"""A trained model at work: decoding, sampling, prompts, and the words of OpenAI's API.

A library without a command line: `minigpt.generate` and `minigpt/serving/` are built on it. No training comes in.
"""
