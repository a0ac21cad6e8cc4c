"""The inner loop: one device's own training steps, at its own speed.

Model, optimizer, learning rate and batch size are here. The network never comes in: no step waits for anybody.
"""
