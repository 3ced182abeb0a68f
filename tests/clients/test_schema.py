"""The chunk API is as its OpenAPI description says: schemathesis makes requests from the description, valid and
invalid ones, and compares the answers with it."""

from harness import ROOT, OnEachStore

# 422: the description cannot say which bytes have which digest; nor, for chunks (400), how long those of a backup are,
# or that each is claimed once.
# For a whole file (400) it cannot say that chunkSize is at least the length of the body, or that two conditions exclude
# each other, and (412) what is at the target.
# An aborted backup can still be read: its record says why it was aborted (docs/api.md).
SETTINGS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "422", "429", "5xx"]
use_after_free.enabled = false

[[operations]]
include-operation-id = "putChunk"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429", "5xx"]

[[operations]]
include-operation-id = "claimChunks"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429", "5xx"]

[[operations]]
include-operation-id = "putWhole"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429", "5xx"]
"""


class ChunkApi(OnEachStore):
    def test_schemathesis_finds_no_difference_from_the_description(self):
        self.need("schemathesis")
        settings = self.home / "schemathesis.toml"
        settings.write_text(SETTINGS)
        # A fixed seed: a change of the gateway can make this fail, chance cannot.
        self.run_client(
            "schemathesis", "--config-file", settings, "run", f"{self.server.url}/_ratchet/v1/openapi.json",
            "--max-examples", "60", "--seed", "1", "--continue-on-failure",
            PYTHONPATH=str(ROOT / "tests/clients"),
            SCHEMATHESIS_HOOKS="schema_hooks",
        )

