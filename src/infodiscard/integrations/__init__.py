"""Infodiscard in the terms of other libraries, one module each; none is imported unless asked for.

captum       SID and RU with Captum's verb, `attribute`, and importance maps
quantus      explanation functions for Quantus' metrics
lightning    a callback that measures layers while a network is trained
tensorboard  a run's numbers and pictures as event files
mlflow       a run's numbers, pictures and tables in an experiment
"""
