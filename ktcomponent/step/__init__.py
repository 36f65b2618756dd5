"""One batch of trials in one container: a light supervisor and a training child."""
