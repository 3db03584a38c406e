"""What `make bench` runs: each module prints figures of one run, as ratios where two things compare."""
