"""The entry of the supervisor, as a module of Coral or as a plain folder."""

import importlib
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

raise SystemExit(importlib.import_module(f"{__package__ or 'replica'}.supervisor").main())
