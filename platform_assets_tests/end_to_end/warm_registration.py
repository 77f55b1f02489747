"""What the first registration of a model in a process finds out, found out before it forks: MLflow reads what every installed
package holds, for two seconds.

By name: MLflow has no public function for it, and a name that is gone fails at the start.
"""

from mlflow.utils import requirements_utils

requirements_utils._init_modules_to_packages_map()
