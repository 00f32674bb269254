REPORT="report.md"
def write(folders, output):
    (output/REPORT).write_text("none yet\n")
