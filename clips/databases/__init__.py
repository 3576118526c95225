"""Databases that can be read from the user's disk in their unpacked form, by their names for --clips."""

DATABASES = {
    "casme2": "megbench.clips.databases.casme2:CASME2",
    "samm": "megbench.clips.databases.samm:SAMM",
    "smic": "megbench.clips.databases.smic:SMIC",
    "smic-vis": "megbench.clips.databases.smic:SMIC_VIS",
    "smic-nir": "megbench.clips.databases.smic:SMIC_NIR",
    "table": "megbench.clips.databases.table:TABLE",
}
