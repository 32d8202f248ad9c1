"""Wristband and its terms."""

from lewm.regularizers.wristband.wristband import Calibration, Wristband

__all__ = ["Calibration", "Wristband"]
