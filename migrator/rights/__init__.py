"""Who may do what on either side, and does Limitless let everybody do what classic lets them?"""
