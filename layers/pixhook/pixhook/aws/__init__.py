"""The only modules that import boto3: each owns one AWS resource and speaks in our nouns."""
