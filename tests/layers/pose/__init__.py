"""Human pose: data with maps of joints and limbs, peaks of heat maps."""
