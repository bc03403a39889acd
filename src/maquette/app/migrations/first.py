"""Revision 1: photos, jobs, scenes and their histories, as in the first releases."""

from maquette.app.migrations import execute

revision = "1"
down_revision = None

TABLES = """
CREATE TABLE photos (id TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, alpha INTEGER,
    notes TEXT, created TEXT, changed TEXT);
CREATE TABLE jobs (ordinal NUMBERED, id TEXT UNIQUE, kind TEXT, state TEXT,
    name TEXT, photo TEXT, scene TEXT, label INTEGER, options TEXT, objects TEXT, instances TEXT,
    failures TEXT, warnings TEXT, error TEXT, seconds TEXT,
    created TEXT, started TEXT, finished TEXT);
CREATE INDEX jobs_by_state ON jobs (state, ordinal);
CREATE TABLE scenes (id TEXT PRIMARY KEY, name TEXT, job TEXT, photo TEXT,
    created TEXT, changed TEXT);
CREATE TABLE histories (owner TEXT PRIMARY KEY, head INTEGER, last INTEGER);
CREATE TABLE versions (owner TEXT, number INTEGER, edit TEXT, changed TEXT, document TEXT,
    created TEXT, PRIMARY KEY (owner, number))
"""


def upgrade() -> None:
    """Create the tables."""
    execute(TABLES)
