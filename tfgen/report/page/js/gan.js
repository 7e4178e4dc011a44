// gan
