"""Experiment trackers, `--report_to`: wandb, trackio, mlflow, tensorboard. Our own files stay the truth."""
