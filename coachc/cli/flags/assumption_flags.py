"""Flags of commands that only ask, for what nothing measured tells them: the profiles and the link's precision."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.cli.flags.group import FlagGroup
from coachc.cli.options import one_of
from coachc.core.plan import MAX_BITS, MIN_BITS
from coachc.errors import UsageError

if TYPE_CHECKING:
    from coachc.cli.flags.calibration_flags import CalibrationFlags
    from coachc.cli.flags.link_flags import MatrixLinkFlags
    from coachc.cli.flags.model_flags import ModelFlags
    from coachc.cli.flags.target_flags import MatrixTargetFlags, TargetFlags
    from coachc.cost.device import DeviceSpec
    from coachc.cost.link import Link
    from coachc.planning.calibration import Calibration
    from coachc.planning.problem import Problem, Setting

#: Precision that stands for the unknown one where nothing is measured.
UNMEASURED_BITS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class AssumptionFlags(FlagGroup):
    """`--family` and `--bits`."""

    family: Annotated[
        str, typer.Option(help="Profiles of both sides: tensorrt (what is deployed) or eager (PyTorch, the paper's).")
    ] = "tensorrt"
    bits: Annotated[
        int | None,
        typer.Option(
            help="Precision of every cut where no --calib measures it. Default: 4.", min=MIN_BITS, max=MAX_BITS
        ),
    ] = None

    def setting_of(self, model: str, targets: TargetFlags, link: Link, shapes: ModelFlags) -> Setting:
        """Where a model is to run, both profiles being of one family; a target that is measured here has only one.

        Raises
        ------
        UsageError, ProfileError
            There is no such family, or a target has no profile of it.
        """
        from coachc.planning.problem import Setting

        (device, cloud), measured = targets.sides, targets.measured
        return Setting(
            model=model,
            device=device,
            cloud=cloud,
            link=link,
            device_precision=self.precision_on(device),
            cloud_precision=self.precision_on(cloud),
            device_measured=measured[0],
            cloud_measured=measured[1],
            run=measured[2],
            batch=shapes.size,
            input_shapes=shapes.input_shapes,
            workers=targets.workers,
            devices=targets.devices,
        )

    def settings_of(
        self, model: str, targets: MatrixTargetFlags, links: MatrixLinkFlags, shapes: ModelFlags
    ) -> list[Setting]:
        """Every device with every cloud at every bandwidth, in this order; raises what `setting_of` raises."""
        from itertools import product

        from coachc.planning.problem import Setting

        return [
            Setting(
                model=model,
                device=device,
                cloud=cloud,
                link=link,
                device_precision=self.precision_on(device),
                cloud_precision=self.precision_on(cloud),
                batch=shapes.size,
                input_shapes=shapes.input_shapes,
            )
            for device, cloud, link in product(*targets.sides, links.links)
        ]

    def precision_on(self, spec: DeviceSpec) -> str | None:
        """A target's precision in `--family`; None for one that is measured here.

        Raises
        ------
        UsageError, ProfileError
            There is no such family, or the target has no profile of it.
        """
        from coachc.cost.device import FAMILIES
        from coachc.cost.device_files import precision_of

        family = one_of(self.family, "--family", FAMILIES)
        return None if spec.is_local else precision_of(spec, family)

    def calibration_of(self, problem: Problem, data: CalibrationFlags) -> Calibration:
        """What `--calib` measures, or the precision that `--bits` takes for granted; draws what `--preview` asks for.

        Raises
        ------
        UsageError
            Both are given.
        """
        from coachc.cli.data_echo import announce, check_preview, warn, write_preview
        from coachc.cli.progress import reporting
        from coachc.planning.calibration import open_calibration, without_samples

        check_preview(data.preview, data.calib)
        if data.calib is None:
            return without_samples(problem, self.bits or UNMEASURED_BITS)
        if self.bits is not None:
            flag = "--calib" if data.recipe is None else f"the data of {data.recipe}"
            raise UsageError(
                f"--bits and {flag} exclude each other: samples measure the precision", hint="leave one out"
            )
        preprocess = data.preprocess_of(problem.model)
        announce(data.calib)
        with reporting() as progress:
            calibration = open_calibration(
                problem,
                data.calib,
                preprocess,
                max_samples=data.samples,
                budget=data.budget_share,
                task=data.known_task,
                progress=progress,
                warn=warn,
            )
        write_preview(calibration.data, data.preview)
        return calibration
