"""All mutations."""

from __future__ import annotations

from tests.mutation.of_capacity import OF_CAPACITY
from tests.mutation.of_data import OF_DATA
from tests.mutation.of_dossier import OF_DOSSIER
from tests.mutation.of_governance import OF_GOVERNANCE
from tests.mutation.of_routes import OF_ROUTES

MUTATIONS = (*OF_DATA, *OF_ROUTES, *OF_CAPACITY, *OF_DOSSIER, *OF_GOVERNANCE)
