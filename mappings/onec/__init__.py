"""A 1C base by OData: customer orders, payments and counterparties; native names are bus.systems.onec_names."""
