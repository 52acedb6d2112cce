"""How alerts reach people: settings from the environment, turned into an alertmanager.yml."""
