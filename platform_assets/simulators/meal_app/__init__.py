"""The meal app, simulated: households that plan, edit and accept weeks of meals, with every truth known.

`simulate` draws a world from a scenario, `load` writes it to Postgres, `late_event` adds one late event to a loaded one;
`python -m platform_assets.simulators.meal_app` does all three. Tastes, and every fault of the log, are planted and
written down, so that what a pipeline learns or catches can be judged. Known simplifications: tastes never change, people
edit only what the app offers them, and every edit of a plan touches its own day.
"""

from platform_assets.simulators.meal_app.late import LateEvent, late_event
from platform_assets.simulators.meal_app.load import load
from platform_assets.simulators.meal_app.scenario import Faults, Scenario, SimulatorError
from platform_assets.simulators.meal_app.world import World, simulate, stream

__all__ = ["Faults", "LateEvent", "Scenario", "SimulatorError", "World", "late_event", "load", "simulate", "stream"]
