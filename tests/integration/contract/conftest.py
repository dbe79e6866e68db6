"""Worlds, as those of the traffic tests, and the examples in other languages."""

from tests.integration.contract.toolchains import java, java_example, node, node_example
from tests.integration.traffic.conftest import breakable, world

__all__ = ["breakable", "java", "java_example", "node", "node_example", "world"]
