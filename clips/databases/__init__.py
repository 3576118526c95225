"""Databases that can be read as they lie on people's disks, by the name they have under --clips."""

DATABASES = {
    "casme2": "clips.databases.casme2:CASME2",
    "samm": "clips.databases.samm:SAMM",
    "smic": "clips.databases.smic:SMIC",
    "smic-vis": "clips.databases.smic:SMIC_VIS",
    "smic-nir": "clips.databases.smic:SMIC_NIR",
    "table": "clips.databases.table:TABLE",
}
