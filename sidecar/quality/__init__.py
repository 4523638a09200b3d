"""How good answers are: signals, feedback and grades, heard off the path of calls."""
