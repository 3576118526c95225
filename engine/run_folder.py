"""The names of the files in a run's folder that commands create from the run's own files."""

REPORT = "report.html"
SUMMARY = "summary.txt"
PAGES = (REPORT, SUMMARY)
# The page without faces, for sharing.
SHARED_PAGE = "report_no_media.html"
# MEGC's log of the spotted expressions, in a run that measures spotting.
SPOTTING_LOG = "spotting_log.csv"
# A recogniser's predictions for the outputs.
RECOGNITION = "recognition.json"
# Motion measured during scoring, and the clips of a page that would be too large with its clips embedded.
MOTION_FOLDER = "motion"
MEDIA_FOLDER = "report_media"
# Runs of the same request on altered drivers, and tables of how these change the figures.
PERTURBED = "perturbed"
