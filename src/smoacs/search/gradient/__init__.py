"""The search by gradients: a soft stage that anneals, and a discrete one."""
