"""The caller side: data, admin and health planes."""
