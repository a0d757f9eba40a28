"""The course around the notebooks: python -m course <command>.

``python -m course`` alone lists the commands.
"""
