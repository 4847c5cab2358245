"""The command line: words to calls, answers to text. It decides nothing that another program could not ask for."""
