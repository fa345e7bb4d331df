"""`coral improve`: evaluate, sample, build, train and evaluate again, and report what it came to."""

from __future__ import annotations

from pathlib import Path

from coral.errors import ConfigError, Interrupted, MissingExtra, RunFolderError
from coral.evaluation.watch import Watch
from coral.improvement.arms import check_sections
from coral.improvement.config import ImproveConfig
from coral.improvement.done import write_record, write_text
from coral.improvement.dry_run import DryRun, Say
from coral.improvement.identity import identify, stored
from coral.improvement.loop import START, Loop
from coral.improvement.plots import save_plots
from coral.improvement.report import render_report
from coral.improvement.results import REPORT, ResultCache, Results
from coral.improvement.servers import Checkpoint, Servers, check_start
from coral.improvement.steps import Steps
from coral.models import embedded
from coral.models.config import ModelConfig
from coral.store.folder import RunFolder
from coral.trackers.figures import table_of
from coral.trackers.report import Report, reporters

__all__ = ["ImproveConfig", "Results", "Watch", "improve", "rehearse"]


async def improve(config: ImproveConfig, watch: Watch | None = None) -> Results | None:
    """Go through the loop, or resume it, and write the report.

    Returns:
        What came of it; None where `watch` stopped it.

    Raises:
        UserError: an option, the data or a folder cannot be used, a server or a training failed.
        FatalReject: a server refuses every request.
    """
    watch = watch or Watch()
    start = _start(config)
    out = _folder(config)
    dry_run = DryRun(config, out, lambda _step, _options: None, in_earnest=True)
    await Loop(config, start, out, dry_run).go_round()  # what is wrong is met before there is a folder
    with RunFolder(out / "loop").claim(identify(config, start), stored(config), free_while_empty=False):
        cache = ResultCache(config, out)
        tracking = Report(reporters(config.report_to), out, stored(config), watch.say)
        servers = Servers(config.serve, out / "loop", stopping=watch.stop.is_set, say=watch.say)
        try:
            async with servers:
                steps = Steps(config, out, cache, watch, servers, tracking)
                trained = await Loop(config, start, out, steps).go_round()
            results = await cache.results(trained)
            write_report(results, out)
            measured = {
                f"{model.name}/{sight}": summary
                for model in results.models
                for sight, summary in model.measured.items()
            }
            tracking.table("models", table_of("model", measured))
        except Interrupted:
            return None
        finally:
            await tracking.close()
    return results


async def rehearse(config: ImproveConfig, say: Say) -> None:
    """Check every option of every step, and say it. Nothing is run or written.

    Raises:
        UserError: an option or the data cannot be used.
    """
    out = _folder(config)
    await Loop(config, _start(config), out, DryRun(config, out, say)).go_round()


def write_report(results: Results, out: Path) -> None:
    """Write report.json, report.md and the plots; without matplotlib, all but the plots."""
    write_record(out / REPORT, results)
    try:
        names = [f"plots/{name}" for name in save_plots(results, out / "plots")]
    except MissingExtra:
        names = []
    write_text(out / "report.md", render_report(results, names))


def _folder(config: ImproveConfig) -> Path:
    """The output folder, as the steps' own folders state it: in full.

    Raises:
        RunFolderError: a run lies there.
    """
    folder = Path(config.output).expanduser().resolve()
    if (folder / "run.json").exists():
        raise RunFolderError(f"{config.output} holds a run", remedy="give another --output")
    return folder


def _start(config: ImproveConfig) -> Checkpoint:
    """The model to start from.

    Raises:
        ConfigError: the loop decides an option that is given, or the model cannot be run.
    """
    check_sections(config)
    folder = embedded.folder_of(ModelConfig(model=config.model))
    if folder is None and config.model.startswith((".", "/", "~")):
        raise ConfigError(f"there is no folder '{config.model}'", remedy="give model a checkpoint folder")
    path = config.model if folder is None else str(folder.resolve())
    check_start(config.serve, path)
    return Checkpoint(START, path)
