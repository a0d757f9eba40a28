"""The course around the notebooks: python -m course <command>.

Students have check, pack and report; teachers release; graders grade, gallery and scores.
"""
