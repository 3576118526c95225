"""Names of what commands make in the folder of a run from its own files: the page, its summary, what the page shows."""

REPORT = "report.html"
SUMMARY = "summary.txt"
PAGES = (REPORT, SUMMARY)
# Motion that scoring saw, and the clips of a page that would be too large with them inside.
MOTION_FOLDER = "motion"
MEDIA_FOLDER = "report_media"
