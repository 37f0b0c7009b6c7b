"""Models in the forms the peers read: a file for each tool that makes some, run in an interpreter that has the tool."""
