"""Reinforcement learning on conversations: each seat's view as tokens, rewards, and TRL's GRPO over them.

```
problem ──► conversations held by the policy ──► rewards ──► trajectories ──► GRPOTrainer ──► policy
            (rollout.py, policy.py)              rewards.py   trajectory.py    trainer.py
```

    from coral.rl import trajectories
    rows = trajectories(conversation, tokenizer)
"""

from coral.rl.trajectory import Trajectory, trajectories

__all__ = ["Trajectory", "trajectories"]
