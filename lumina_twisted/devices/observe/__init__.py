"""What is known of points, floor 3: from whatever the ports report, whoever asked."""
