"""What a run's folder is called in messages, and what commands make in it from its own files."""

REPORT = "report.html"
SUMMARY = "summary.txt"
PAGES = (REPORT, SUMMARY)
# The page without a face, for sharing.
SHARED_PAGE = "report_no_media.html"
# MEGC's log of what was spotted, in a run that measures it.
SPOTTING_LOG = "spotting_log.csv"
# What a recogniser said of the outputs.
RECOGNITION = "recognition.json"
# Motion that scoring saw, and the clips of a page that would be too large with them inside.
MOTION_FOLDER = "motion"
MEDIA_FOLDER = "report_media"
# Runs of the same request on altered drivers, and what became of its figures.
PERTURBED = "perturbed"
