from tests.integration.protocol.interleaving import turns

__all__ = ["turns"]
