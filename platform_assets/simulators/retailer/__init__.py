"""A retailer, simulated: the raw schema of a large public transactions data set at any size, with every truth known.

`draw_world` draws what stands still, `World.blocks` the rows of a week, `write_weeks` the files;
`python -m platform_assets.simulators.retailer` does all three. Missions, loyalty, complements, response to prices, seasons,
differences between stores, and customers who come and go are planted, each with a knob, so that a model can be judged.
Known simplifications: favourites and stores never change, the assortment is the same every week, and promotions hold in
all stores alike.
"""

from platform_assets.simulators.retailer.scenario import Scenario, SimulatorError, Structure
from platform_assets.simulators.retailer.truth import TruthFiles
from platform_assets.simulators.retailer.world import World, draw_world
from platform_assets.simulators.retailer.writer import check, write_weeks

__all__ = ["Scenario", "SimulatorError", "Structure", "TruthFiles", "World", "check", "draw_world", "write_weeks"]
