"""Revision 2: what several processes need to work on the same jobs.

A job in work has a claim (drawn by who took it) and, unless one process has the database for
itself, a lease: the second (of the database's clock) at which somebody else may take it.
"""

from maquette.app.migrations import execute

revision = "2"
down_revision = "1"

CHANGES = """
ALTER TABLE jobs ADD COLUMN claim TEXT;
ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN lease DOUBLE PRECISION;
ALTER TABLE jobs ADD COLUMN progress TEXT;
CREATE INDEX jobs_open ON jobs (ordinal) WHERE state IN ('queued', 'running');
CREATE UNIQUE INDEX jobs_by_claim ON jobs (claim);
CREATE TABLE workers (id TEXT PRIMARY KEY, state TEXT, capabilities TEXT, seen DOUBLE PRECISION);
CREATE TABLE news (ordinal NUMBERED, name TEXT, data TEXT, told DOUBLE PRECISION);
CREATE TABLE tallies (name TEXT PRIMARY KEY, number BIGINT, total DOUBLE PRECISION);
CREATE TABLE homes (id TEXT PRIMARY KEY)
"""


def upgrade() -> None:
    """Add the columns and tables."""
    execute(CHANGES)
