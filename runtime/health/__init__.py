"""What a machine has of what the programs need: `runtime.doctor` asks, these files find out."""
