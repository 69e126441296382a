"""Pixhook on your own machine: MiniStack as AWS, simulators as providers, the real template in between."""
