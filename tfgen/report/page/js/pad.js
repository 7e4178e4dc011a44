// pad
