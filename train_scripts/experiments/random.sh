# As default, untrained: the rate is 0, so the weights stay the random ones (section 5.3).
CHANGES=(--lr 0 --lr-scheduler fixed --warmup-updates 0 --max-update 1)
