"""Any model that assay knows, behind the interfaces that other programs speak. Needs the extra `gateway`."""
