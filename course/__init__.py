"""The course around the notebooks: python -m course <command>.

Commands for students: check, pack, report; for teachers: release; for graders: grade, gallery, scores.
"""
