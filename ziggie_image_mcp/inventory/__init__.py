"""What is here: hardware, providers, models.

`hardware_probe` asks the `hardware_sources`; `registry` builds the providers, `survey` asks them
what they have, `model_facts` adds what is known of models by name.
"""
